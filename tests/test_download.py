"""Files from hosts that are dead, slow, moved, cut off or wrong."""

import logging
import os
import re
import socket
import subprocess
import sys

import pytest

from hrdet import download as module
from hrdet.download import DownloadError, download, sha256, stated_hash
from tests.file_server import CONTENT, NAME, SHA256


@pytest.fixture
def dead():
    """The address of a port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        yield f'http://127.0.0.1:{unused.getsockname()[1]}'


def parts(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_says_from_where(server, tmp_path, capsys):
    logger = logging.getLogger('hrdet')  # as in a program that has not set up logging
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    target = tmp_path / 'cache' / NAME
    assert download([f'{server.url}/{NAME}'], target, SHA256) == target
    assert target.read_bytes() == CONTENT
    assert parts(target.parent) == [NAME]
    told = capsys.readouterr()
    assert told.err == f'downloading {server.url}/{NAME} to {target}\n'
    assert told.out == ''


def test_the_line_is_logged_where_logging_is_set_up(server, tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO, logger='hrdet')
    download([f'{server.url}/{NAME}'], tmp_path / NAME)
    assert caplog.messages == [f'downloading {server.url}/{NAME} to {tmp_path / NAME}']
    assert capsys.readouterr().err == ''


def test_addresses_are_tried_in_turn(server, dead, tmp_path):
    addresses = [f'{dead}/{NAME}', f'{server.url}/gone/{NAME}', f'{server.url}/{NAME}']
    download(addresses, tmp_path / NAME, SHA256)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == [f'/gone/{NAME}', f'/{NAME}']


def test_an_error_names_every_address_and_its_reason(server, dead, tmp_path):
    addresses = [f'{dead}/{NAME}', f'{server.url}/gone/{NAME}', 'http://no.such.host.invalid/x']
    with pytest.raises(DownloadError) as error:
        download(addresses, tmp_path / NAME)
    text = str(error.value)
    assert '\n' not in text
    for part in (f'{addresses[0]} (Connection refused)', f'{addresses[1]} (404 Not Found)',
                 f'{addresses[2]} (', f'save it as {tmp_path / NAME}',
                 'HRDET_MIRRORS'):  # fmt: skip
        assert part in text


def test_a_host_that_does_not_answer_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'TIMEOUT', 0.05)
    server.behaviour['/plain.pth'] = 'slow'
    with pytest.raises(DownloadError, match=r'no answer for 0\.05 s'):
        download([f'{server.url}/plain.pth'], tmp_path / 'plain.pth')


def test_a_redirection_is_followed(server, tmp_path):
    server.behaviour['/old'] = 'moved'
    download([f'{server.url}/old'], tmp_path / NAME, SHA256)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_the_hash_that_the_hub_states_is_checked(server, tmp_path):
    server.behaviour['/old'] = 'moved'
    server.linked = SHA256
    download([f'{server.url}/old'], tmp_path / 'good')
    server.linked = '0' * 64
    with pytest.raises(DownloadError, match=f'its sha256 begins with {SHA256}, not 0{{64}}'):
        download([f'{server.url}/old'], tmp_path / 'bad')
    assert parts(tmp_path) == ['.bad.part', 'good']


def test_a_cut_connection_is_continued(server, tmp_path):
    server.behaviour['/plain.pth'] = 'cut once'
    download([f'{server.url}/plain.pth'], tmp_path / 'plain.pth')
    assert (tmp_path / 'plain.pth').read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, f'bytes={len(CONTENT) // 3}-']


def test_a_file_that_changed_meanwhile_is_begun_anew(server, tmp_path):
    """Without a hash only the server's name of the content tells."""
    server.behaviour['/plain.pth'] = 'cut once'
    answer = server.answer

    def changing(request):
        answer(request)
        server.etag = '"2"'
        server.files['/plain.pth'] = CONTENT[::-1]

    server.answer = changing
    download([f'{server.url}/plain.pth'], tmp_path / 'plain.pth')
    assert (tmp_path / 'plain.pth').read_bytes() == CONTENT[::-1]


def test_a_broken_download_is_resumed_by_the_next_process(server, tmp_path):
    server.behaviour[f'/{NAME}'] = 'cut'
    third = len(CONTENT) // 3
    with pytest.raises(DownloadError, match=rf'cut after {third:,} of {len(CONTENT):,} bytes'):
        download([f'{server.url}/{NAME}'], tmp_path / NAME, SHA256)
    assert parts(tmp_path) == [f'.{NAME}.part']
    server.behaviour.clear()
    server.requests.clear()
    download([f'{server.url}/{NAME}'], tmp_path / NAME, SHA256)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [f'bytes={third}-']
    assert parts(tmp_path) == [NAME]


def test_a_host_without_ranges_sends_the_file_again(server, tmp_path):
    (tmp_path / f'.{NAME}.part').write_bytes(CONTENT[:1000])
    server.behaviour[f'/{NAME}'] = 'plain'
    download([f'{server.url}/{NAME}'], tmp_path / NAME, SHA256)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize('rest', [b'of another file', CONTENT + b'and more', CONTENT])
def test_a_part_of_another_file_is_thrown_away(rest, server, tmp_path):
    (tmp_path / f'.{NAME}.part').write_bytes(rest)
    download([f'{server.url}/{NAME}'], tmp_path / NAME, SHA256)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_the_next_address_tried(server, tmp_path):
    server.files[f'/bad/{NAME}'] = CONTENT[:-1] + b'x'
    bad = f'{server.url}/bad/{NAME}'
    with pytest.raises(DownloadError, match=rf'sha256 begins with \w{{8}}, not {SHA256[:8]}'):
        download([bad], tmp_path / NAME, SHA256[:8])
    assert not (tmp_path / NAME).exists()
    download([bad, f'{server.url}/{NAME}'], tmp_path / NAME, SHA256[:8])
    assert sha256(tmp_path / NAME) == SHA256


@pytest.mark.parametrize(('content', 'told'), [
    (b'<!doctype html>', 'answers with a web page'), (b'', 'sends nothing'),
])  # fmt: skip
def test_what_is_not_a_file(content, told, server, tmp_path):
    server.files['/page'] = content
    with pytest.raises(DownloadError, match=told):
        download([f'{server.url}/page'], tmp_path / 'page')


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DownloadError, match=r'cannot be written \(.*\); HRDET_HOME names another'):
        download([f'{server.url}/{NAME}'], tmp_path / 'file' / NAME)


def test_offline_names_file_and_address(server, tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    text = re.escape(f'{tmp_path / NAME}: not there, and HRDET_OFFLINE is set: fetch {server.url}')
    with pytest.raises(DownloadError, match=text):
        download([f'{server.url}/{NAME}'], tmp_path / NAME)
    assert server.requests == []


def test_two_processes_fetch_a_file_once(server, tmp_path):
    """The second waits for the first, which is held up by the server until both have begun."""
    code = (
        'import sys; from pathlib import Path; from hrdet.download import download; '
        'download([sys.argv[1]], Path(sys.argv[2]))'
    )
    answer = server.answer

    def held(request):
        server.release.wait()
        answer(request)

    server.answer = held
    command = [sys.executable, '-c', code, f'{server.url}/{NAME}', str(tmp_path / NAME)]
    pipes = dict(stderr=subprocess.PIPE, text=True, env=os.environ | {'NO_PROXY': '*'})
    first = subprocess.Popen(command, **pipes)
    assert first.stderr.readline().startswith('downloading')
    second = subprocess.Popen(command, **pipes)
    assert second.stderr.readline().startswith('waiting for another process')
    server.release.set()
    assert [first.wait(), second.wait()] == [0, 0], first.stderr.read() + second.stderr.read()
    assert len(server.requests) == 1
    assert parts(tmp_path) == [NAME]
    for process in (first, second):
        process.stderr.close()


@pytest.mark.parametrize(('name', 'digits'), [
    ('a-e368c387.pth', 'e368c387'), ('a_20190522-e368c387.pth', 'e368c387'),
    ('https://host/x/a-e368c387.pth', 'e368c387'), ('a-20190522.pth', None),
    ('model.safetensors', None), ('a-e368.pth', None),
])  # fmt: skip
def test_the_hash_in_a_name(name, digits):
    assert stated_hash(name) == digits
