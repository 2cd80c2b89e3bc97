"""HTTP/1.1 request heads: bytes to a WSGI environ (RFC 9112 sections 2-5, PEP 3333).

What is ambiguous is refused, never repaired. No I/O here.
"""

MAX_HEAD = 256 * 1024  # bytes, blank line included; the proxy has the limits that users meet

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"}

# Field name as received -> key in environ; "" for a field that WSGI programs must not see.
_keys = {}
_KEYS_LIMIT = 2000

HANDOVER = "HTTP_PASTER_ENVIRON"
CERTIFICATE = "HTTP_PASTER_CLIENT_CERTIFICATE"


class BadRequest(Exception):
    """A request that is answered with `status` and the end of the connection."""

    def __init__(self, reason, status="400 Bad Request"):
        super().__init__(reason)
        self.status = status


def is_token(text):
    """Whether `text` is a token (RFC 9110 section 5.6.2)."""
    return bool(text) and _TOKEN.issuperset(text)


def parse(head, base):
    """The environ of the request whose head (without the blank line) is `head`; `base` is copied into it.

    `wsgi.input` is left as it is in `base`. Raises BadRequest.
    """
    lines = str(head, "latin-1").split("\r\n")
    ends = len(lines) - 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
        raise BadRequest("stray CR, LF or NUL")
    parts = lines[0].split(" ")
    if len(parts) != 3:
        raise BadRequest("malformed request line")
    method, target, version = parts
    if method not in _METHODS and not is_token(method):
        raise BadRequest("malformed method")
    if version != "HTTP/1.1" and version != "HTTP/1.0":
        raise BadRequest("unsupported version", "505 HTTP Version Not Supported")
    if not target or not (target.isascii() and target.isprintable() or _is_target(target)):
        raise BadRequest("malformed request target")
    environ = base.copy()
    environ["REQUEST_METHOD"] = method
    environ["SERVER_PROTOCOL"] = version
    environ["REQUEST_URI"] = environ["RAW_URI"] = target
    environ["QUERY_STRING"] = target.partition("?")[2]

    keys = _keys
    handover = None
    del lines[0]
    for line in lines:
        name, colon, value = line.partition(":")
        key = keys.get(name)
        if key is None:
            key = _classify(name, colon)
        if key == HANDOVER:
            if handover is not None:
                raise BadRequest("repeated Paster-Environ")
            handover = value
        elif key in environ:
            separator = "; " if key == "HTTP_COOKIE" else ","
            environ[key] += separator + value.strip(" \t")
        elif key:
            environ[key] = value.strip(" \t")
    if handover is not None:
        _spread(environ, handover)
        certificate = environ.pop(CERTIFICATE, None)
        if certificate is not None:
            _certify(environ, certificate)
    else:
        _from_target(environ, target)
    return environ


def framing(environ):
    """How the body is delimited: None without one, a length in bytes, or -1 for chunked (RFC 9112 section 6)."""
    length = environ.get("CONTENT_LENGTH")
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        if length is not None:
            raise BadRequest("both Content-Length and Transfer-Encoding")
        if environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            raise BadRequest("Transfer-Encoding in HTTP/1.0")
        if coding.lower() != "chunked":
            raise BadRequest("unknown transfer coding", "501 Not Implemented")
        return -1
    if length is None:
        return None
    # isdecimal: of Latin-1 only 0-9 (isdigit would take superscripts). The bound is int()'s own on digits.
    if not length.isdecimal() or len(length) > 18:
        raise BadRequest("malformed Content-Length")
    return int(length) or None


def keeps_alive(environ):
    """Whether the client lets the connection live on; HTTP/1.0 connections never do."""
    if environ["SERVER_PROTOCOL"] != "HTTP/1.1":
        return False
    connection = environ.get("HTTP_CONNECTION")
    return connection is None or "close" not in [item.strip() for item in connection.lower().split(",")]


def percent_decode(text):
    """Percent-decoding to the Latin-1 string that WSGI wants; a `%` without two hex digits stays."""
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    out = [first]
    for item in rest:
        try:
            # int() would take " 1" or "+1" too.
            out.append(bytes.fromhex(item[:2]).decode("latin-1") if len(item[:2].strip()) == 2 else "%" + item[:2])
        except ValueError:
            out.append("%" + item[:2])
        out.append(item[2:])
    return "".join(out)


def _is_target(target):
    """Raw bytes above 0x7f are passed to the app, as servers of its time did; controls are not."""
    return all(char > "\x20" and char != "\x7f" for char in target)


def _classify(name, colon):
    if not colon or not is_token(name):
        raise BadRequest("malformed header field")
    upper = name.upper()
    if "_" in name:
        key = ""  # X_A and X-A would be one name in environ
    elif upper in ("CONTENT-TYPE", "CONTENT-LENGTH"):
        key = upper.replace("-", "_")
    else:
        key = "HTTP_" + upper.replace("-", "_")
    if len(_keys) < _KEYS_LIMIT:
        _keys[name] = key
    return key


def _spread(environ, field):
    """Takes over what the proxy found out: docs/worker-contract.md, `Paster-Environ`."""
    values = field.split(" ")
    if len(values) == 8 and not values[0]:
        del values[0]  # the space after the colon; the first value may be empty, so stripping would lose it
    if len(values) != 7:
        raise BadRequest("malformed Paster-Environ")
    if "%" in field:
        values = [percent_decode(value) for value in values]
    (
        environ["SCRIPT_NAME"],
        environ["PATH_INFO"],
        environ["REMOTE_ADDR"],
        environ["REMOTE_PORT"],
        environ["wsgi.url_scheme"],
        environ["SERVER_NAME"],
        environ["SERVER_PORT"],
    ) = values


def _certify(environ, field):
    """Takes over what the client has proved of itself: docs/worker-contract.md, `Paster-Client-Certificate`."""
    values = [percent_decode(value) for value in field.split(" ")]
    environ["SSL_CLIENT_VERIFY"] = values[0]
    if len(values) == 4:
        environ["SSL_CLIENT_S_DN"], environ["SSL_CLIENT_I_DN"], environ["SSL_CLIENT_M_SERIAL"] = values[1:]
    elif values != ["NONE"]:
        raise BadRequest("malformed Paster-Client-Certificate")


def _from_target(environ, target):
    """For somebody who connects by hand: the path of the target, at the root."""
    path = target.partition("?")[0]
    scheme, absolute, rest = path.partition("://")
    if absolute and "/" not in scheme:
        path = "/" + rest.partition("/")[2]
    environ["PATH_INFO"] = percent_decode(path)
    host, _, port = environ.get("HTTP_HOST", "localhost").rpartition(":")
    if host and port.isdecimal():
        environ["SERVER_NAME"], environ["SERVER_PORT"] = host, port
    else:
        environ["SERVER_NAME"] = environ.get("HTTP_HOST") or "localhost"
