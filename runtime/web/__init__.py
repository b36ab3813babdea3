"""The page in the browser: the live run, recordings, their labels, and teaching.

The server is its own process, so it costs a run only the messages that the run hands over (``link``). It needs the
extra ``[web]``.
"""
