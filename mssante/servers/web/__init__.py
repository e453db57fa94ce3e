"""The HTTPS listener: Starlette's routes over uvicorn's HTTP/1.1, on sockets the supervisor bound."""
