"""Why a request is refused. No message repeats the request, or says what other owners have."""

from collections.abc import Sequence

from ingest.storage.errors import RegularsError


class NoSuchShop(RegularsError):
    """The owner has no such shop, whether or not another owner has it."""

    def __init__(self) -> None:
        super().__init__("You have no such shop.")


class ShopNotNamed(RegularsError):
    """The owner has several shops and named none."""

    def __init__(self, slugs: Sequence[str]) -> None:
        super().__init__(f"You have several shops; name one with shop=: {', '.join(slugs)}.")
        self.slugs = tuple(slugs)


class NoSuchCustomer(RegularsError):
    """The shop has no customer with this id, whether or not another shop has one."""

    def __init__(self) -> None:
        super().__init__("The shop has no such customer.")


class NotCountedYet(RegularsError):
    """No refresh has counted this shop yet: there are no numbers, not even zeros."""

    def __init__(self) -> None:
        super().__init__("No refresh has counted this shop yet.")


class NotFromHere(RegularsError):
    """Another site made the browser send a form that only our own pages send."""

    def __init__(self) -> None:
        super().__init__("This was not sent from a page of Regulars.")


class NotLoaded(RegularsError):
    """The database did not respond, or not in time."""

    def __init__(self) -> None:
        super().__init__("The numbers could not be loaded. Try again in a moment.")


class TooManyAtOnce(RegularsError):
    """The owner's requests use all connections that one owner may have."""

    def __init__(self) -> None:
        super().__init__("You have too many requests under way. Wait for some of them, and try again.")


class BadCursor(RegularsError):
    """The cursor is not one that we made, or belongs to another sort."""

    def __init__(self) -> None:
        super().__init__("is not the next_cursor of a page in this sort")
