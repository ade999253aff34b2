"""The command line: `geovq fit | encode | decode | score | info`. May import everything; `main` is free of JAX until a command runs."""
