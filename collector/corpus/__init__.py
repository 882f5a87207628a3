"""Cases: export datagrams with the truth about them; `case` has the format."""
