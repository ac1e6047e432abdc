"""What is refused of a chip file: machines that cannot work, and keys that nothing reads."""
