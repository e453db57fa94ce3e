"""mssante: a secure health-mail operator."""
