"""How good and how fast are k-medoids on graphs, compared with other ways to them?"""
