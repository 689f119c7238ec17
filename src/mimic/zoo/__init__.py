"""Encoders to measure against, clean and attacked, each with a card that says what it is."""

from mimic.zoo.card import Card, Task, find_zoo, read_card, read_zoo

__all__ = ["Card", "Task", "find_zoo", "read_card", "read_zoo"]
