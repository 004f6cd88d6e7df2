"""Output whose reader may leave, as ``head`` does, or lack characters."""

import os
import sys
from contextlib import contextmanager


@contextmanager
def discarding_what_nobody_reads():
    """Discard output from the moment on at which its reader is gone.

    Characters that the reader's encoding lacks become question marks. A print that
    fails would end a deletion half way, and be mistaken for a learner that cannot be
    trained.
    """
    streams = sys.stdout, sys.stderr
    # A stream that was closed from the start is None.
    pipes = [stream and _Pipe(stream) for stream in streams]
    sys.stdout, sys.stderr = pipes
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for pipe in filter(None, pipes):
            pipe.flush()


class _Pipe:
    """A text stream that raises neither BrokenPipeError nor UnicodeEncodeError."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            return self.write(text.encode(encoding, "replace").decode(encoding))
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self):
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self):
        # What is still in the stream's buffer goes there too when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
