"""Weights by path, name or address: found in the cache folder, or downloaded into it.

Files whose name ends in a hash (``...-e368c387.pth``) are stored in ``zoo.cache_folder()`` itself,
others below it by host and path.  An address may end in ``#sha256=...``.  Environment variables:
HRDET_HOME (the folder), HRDET_MIRRORS (addresses to try first), HRDET_OFFLINE=1 (no downloads).
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from hrdet import zoo
from hrdet.distributed import on_rank_0
from hrdet.download import DownloadError, download, sha256, stated_hash
from hrdet.registry import ConfigError

# Host that no longer answers -> mirrors with the same paths, which are tried first.
_MIRRORS = {'download.openmmlab.com': ('https://mmassets.onedl.ai',)}
_HUB = 'https://huggingface.co'


def find(source: str | os.PathLike) -> Path:
    """The file that holds a checkpoint, downloaded if it is not here yet.

    Args:
        source: a path, a published model's name (``zoo.MODELS``), ``https://...``,
            ``hf://OWNER/REPO/FILE``, ``timm/MODEL.TAG`` (its repository on the Hugging Face hub),
            or ``open-mmlab://msra/hrnetv2_w18`` (an ImageNet backbone, ``zoo.NICKNAMES``).

    Returns:
        The file.  Text of any other form is taken for a path and returned, even if it does not
        exist.

    Raises:
        DownloadError: no address has the file, or HRDET_OFFLINE is set.
        ConfigError: an address that is not that of a file.
    """
    text = os.fspath(source)
    if os.path.isfile(text):
        return Path(text)
    model = zoo.named(text)
    if model is not None:
        return _published(model)
    url = _address(text)
    return Path(text) if url is None else _fetched(url)


def find_shared(source: str | os.PathLike) -> Path:
    """``find`` on all processes of a run: rank 0 downloads into the folder that they share."""
    on_rank_0(find, source)
    return find(source)


def is_address(source: str | os.PathLike) -> bool:
    """Whether this is a name or an address, and not a path."""
    text = os.fspath(source)
    return zoo.named(text) is not None or _address(text) is not None


def _address(text: str) -> str | None:
    """The https address of a file, or None for a path."""
    if text.startswith(('https://', 'http://')):
        return text
    if text.startswith('hf://'):
        owner, _, rest = text.removeprefix('hf://').partition('/')
        repo, _, file = rest.partition('/')
        if not (owner and repo and file):
            raise ConfigError(f'{text!r}: write hf://OWNER/REPO/FILE')
        return f'{_HUB}/{owner}/{repo}/resolve/main/{file}'
    # timm/MODEL.TAG, which a relative path to a file could look like, too.
    if re.fullmatch(r'timm/[\w-]+(\.\w+)?', text) and not text.endswith(('.pth', '.safetensors')):
        return f'{_HUB}/{text}/resolve/main/model.safetensors'
    if text.startswith(('open-mmlab://', 'torchvision://')):
        if text not in zoo.NICKNAMES:
            raise ConfigError(f'{text!r} is unknown here; known are {", ".join(zoo.NICKNAMES)}')
        return zoo.NICKNAMES[text]
    return None


def _published(model: zoo.Published) -> Path:
    """The weights of a published model, under the name of their file or of the model."""
    # A file that the user saved under the model's name, unless the published one is cached.
    own = zoo.cache_folder() / f'{model.name}.pth'
    hashed = model.url is not None and stated_hash(model.url) is not None
    if own.is_file() and not (hashed and _cached(model.url).is_file()):
        return own
    if model.url is None:
        raise DownloadError(
            f'{model.name}: {zoo.RELEASE} prints its AP but links no file. If you have it, save it '
            f'as {own} (HRDET_HOME names another folder), or give its path as checkpoint'
        )
    return _fetched(model.url, None if hashed else own)


def _fetched(url: str, target: Path | None = None) -> Path:
    """The file of an address in the cache folder."""
    url, _, fragment = url.partition('#')
    digest = fragment.removeprefix('sha256=').lower() if fragment else None
    if digest is not None and not re.fullmatch(r'[0-9a-f]{8,64}', digest):
        raise ConfigError(f'{url}#{fragment}: write #sha256= and 8 to 64 hexadecimal digits')
    target = target or _cached(url)
    if not target.is_file():
        try:
            return download(_addresses(url), target, digest or stated_hash(target.name))
        except DownloadError as error:
            raise DownloadError(f'{error}{_on_the_hub(target.name)}') from error
    if digest is not None and not sha256(target).startswith(digest):
        raise DownloadError(f'{target}: its sha256 does not begin with {digest}: delete it')
    return target


def _on_the_hub(name: str) -> str:
    """The end of a message: timm's weights of the same ImageNet classifier."""
    found = re.match(r'hrnet(?:-|v2_)w(\d+)(_small)?', name)
    if found is None:
        return ''
    width, small = found.groups()
    kind = '_small_v2.ms' if small else '_ssld.paddle' if 'ssld' in name else '.ms'
    return f'. The same network, as timm publishes it, is timm/hrnet_w{width}{kind}_in1k'


def _cached(url: str) -> Path:
    """Where the file of an address is kept."""
    parts = urlsplit(url)
    *folders, name = parts.path.strip('/').split('/')
    # The path must not leave the cache folder.
    if not name or not {'', '.', '..'}.isdisjoint((*folders, name, parts.netloc)):
        raise ConfigError(f'{url}: must be the address of a file')
    if stated_hash(name):
        return zoo.cache_folder() / name
    if parts.query:
        name += '?' + parts.query.replace('/', '%2F')
    return zoo.cache_folder().joinpath(parts.netloc, *folders, name)


def _addresses(url: str) -> list[str]:
    """The address on the user's mirrors, then on known mirrors, then the address itself."""
    parts = urlsplit(url)
    own = f'{parts.scheme}://{parts.netloc}'
    mirrors = [
        text.rstrip('/') for text in re.split(r'[,\s]+', os.environ.get('HRDET_MIRRORS', ''))
    ]
    for base in filter(None, mirrors):
        if not base.startswith(('https://', 'http://')):
            raise ConfigError(f'HRDET_MIRRORS: {base!r} does not begin with https://')
    bases = [*filter(None, mirrors), *_MIRRORS.get(parts.netloc, ()), own]
    return [base + url.removeprefix(own) for base in dict.fromkeys(bases)]


def timm_classifier(width: int | str | None) -> str | None:
    """The name of timm's ImageNet classifier with an HRNet of that width."""
    if width not in (18, 30, 32, 40, 44, 48, 64):
        return None
    return f'timm/hrnet_w{width}.ms_{"aug_" if width == 18 else ""}in1k'
