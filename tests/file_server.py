"""A server of files on this machine that can fail as hosts do."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f'model-{SHA256[:8]}.pth'


class FileServer:
    """``files`` by path; ``behaviour`` of a path: cut, slow, moved, plain (no ranges), other."""

    def __init__(self):
        self.files = {f'/{NAME}': CONTENT, '/plain.pth': CONTENT}
        self.behaviour = {}
        self.etag = '"1"'
        self.linked = ''  # the hash that the Hugging Face hub states where it redirects
        self.requests = []  # (path, Range)
        self.release = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.http.daemon_threads = True
        self.url = f'http://127.0.0.1:{self.http.server_port}'
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request):
        path, asked = request.path, request.headers.get('Range')
        self.requests.append((path, asked))
        how = self.behaviour.get(path, '')
        if how == 'slow':
            self.release.wait()
            return
        if how == 'moved':
            request.send_response(302)
            request.send_header('Location', f'{self.url}/{NAME}')
            if self.linked:
                request.send_header('X-Linked-ETag', f'"{self.linked}"')
            request.end_headers()
            return
        if path not in self.files:
            request.send_error(404, 'Not Found')
            return
        content, start = self.files[path], 0
        same = request.headers.get('If-Range') in (None, self.etag)
        if asked and how != 'plain' and same:
            start = int(asked.removeprefix('bytes=').rstrip('-'))
        if start and start >= len(content):
            request.send_error(416, 'Range Not Satisfiable')
            return
        request.send_response(206 if start else 200)
        request.send_header('Content-Length', str(len(content) - start))
        request.send_header('ETag', self.etag)
        request.end_headers()
        end = len(content)
        if how == 'cut':  # after a third of the file, and then at the same place for ever
            end = max(start, len(content) // 3)
        elif how == 'cut once':
            end = len(content) // 3
            del self.behaviour[path]
        request.wfile.write(content[start:end])

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()
