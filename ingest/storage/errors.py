"""Errors that a user can fix: each message says what is wrong and what to do, and holds no personal data."""


class RegularsError(Exception):
    """Something that the caller or the operator can fix. The message says how."""


class SettingError(RegularsError):
    """A setting is missing or can't be read."""


class DatabaseError(RegularsError):
    """The database can't be reached, or is not one that Regulars can use."""


class MigrationError(RegularsError):
    """The schema can't be brought up to date; the failed migration was rolled back."""


class UnknownShop(RegularsError):
    """There is no shop with this id."""


class UnknownOrder(RegularsError):
    """The shop has no order with this id."""


class InputError(RegularsError):
    """A file or a value that was given can't be read, or can't be used."""
