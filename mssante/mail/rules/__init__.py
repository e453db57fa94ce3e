"""The rules of admission, one file each: each looks at one thing and refuses it or lets it pass."""
