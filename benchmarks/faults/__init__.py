"""What happens when a process is killed, a disk is full, a file is damaged, or a command line is wrong?"""
