"""Rules for the files that a configuration names: each is there and what it should be, before anything is started."""

from __future__ import annotations

import os
import stat

from tracseq_gateway.config.problem import Wrong, show

LONGEST_DIRECTORY = 88
"""Bytes of an absolute ``run_directory``; what is left is for the names of the sockets in it."""

LONGEST_SOCKET = 107
"""Bytes of a socket's name (unix(7))."""

_PUBLIC = ("-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----")


def log_target(target: str) -> str:
    """A word, or a file that can be written."""
    if target in ("stdout", "journald", "off"):
        return target
    directory = os.path.dirname(target) or "."
    if "\0" in target or not target or os.path.isdir(target):
        raise Wrong(f"{show(target)} is not a file", "stdout, journald, off or a file's path would be right")
    if not os.path.isdir(directory):
        raise Wrong(f"{show(target)} is an unreachable file", "a file in a directory that exists would be right")
    if not os.access(target if os.path.exists(target) else directory, os.W_OK):
        raise Wrong(f"{show(target)} is an unreachable file", "a file that this user may write would be right")
    return target


def certificates(file: str) -> str:
    """A file with certificates in PEM form, or none."""
    if file and "-----BEGIN CERTIFICATE-----" not in _text(file):
        raise Wrong(f"{show(file)} holds no certificate", "a file in PEM form would be right")
    return file


def public_key(file: str) -> str:
    """A file with a public key or a certificate in PEM form, or none."""
    text = _text(file) if file else _PUBLIC[0]
    if "PRIVATE KEY-----" in text:
        raise Wrong(f"{show(file)} holds a private key", "the public key alone would be right")
    if not any(mark in text for mark in _PUBLIC):
        raise Wrong(f"{show(file)} holds no public key", "a file in PEM form would be right")
    return file


def instance_list(file: str) -> str:
    """A file that is read again and again; that it is not there yet is no mistake."""
    if not file or "\0" in file or os.path.isdir(file):
        raise Wrong(f"{show(file)} is not a file", "the path of a file in JSON or TOML would be right")
    return file


def directory_name(text: str) -> str:
    """A directory for sockets, or none: the kernel takes 107 bytes of a socket's whole name (unix(7))."""
    if "\0" in text or len(os.fsencode(os.path.abspath(text))) > LONGEST_DIRECTORY:
        raise Wrong(f"{show(text)} cannot hold sockets", f"a path of at most {LONGEST_DIRECTORY} bytes would be right")
    return text


def private_directory(text: str) -> str:
    """A directory that nobody else may look into, or one that can be made; or none. Comes out absolute."""
    if not text:
        return text
    path = "" if "\0" in text else os.path.abspath(text)
    if not os.path.isdir(os.path.dirname(path)):
        raise Wrong(f"{show(text)} cannot be made", "a directory in one that exists would be right")
    if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
        raise Wrong(f"{show(text)} is no directory", "a directory of its own would be right")
    if os.path.isdir(path) and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        raise Wrong(f"{show(text)} is open to other users", "one with mode 0700 would be right (chmod 700)")
    return path


def socket_name(text: str) -> str:
    """The absolute path of a socket; whether somebody listens there is another matter."""
    if "\0" in text or not text.startswith("/") or len(os.fsencode(text)) > LONGEST_SOCKET:
        raise Wrong(f"{show(text)} cannot name a socket", f"a path of at most {LONGEST_SOCKET} bytes would be right")
    return text


def is_socket(path: str) -> bool:
    """Whether there is a socket of this name, as far as this user can see."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _text(file: str) -> str:
    try:
        with open(file, encoding="latin-1") as stream:  # what it is looked through for is ASCII
            return stream.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Wrong(
            f"{show(file)} is an unreachable file ({reason})", "a file that can be read would be right"
        ) from None
