"""Events that the database did not take in time: stored on this machine's disk, and replayed when it answers again.

`file` is the spool itself, `writer_thread` adds to it, `replay` and `replay_thread` write it to the database, `outage`
knows whether the database is down. `file_lock` and `fork_gate` keep several processes, and forks, apart.
"""
