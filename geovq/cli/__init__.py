"""The command line: `geovq fit | encode | decode | score | export | info`. May import everything; JAX when a command runs."""
