"""Settings → stores → rooms → listeners → a worker's process, by hand and in dependency order.

`stores` is what the administrator's commands and the workers share; `process` is one worker from
its first line to its last. Commands import the file that they need, and with it no server.
"""
