"""How fast is the Transformer, what memory does it take, and which layout of codes is better?"""
