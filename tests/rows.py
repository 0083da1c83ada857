"""Rows of the dashboard for tests that need no database."""

from regulars.dashboard.queries.select import Model


def example(model: type[Model], **values: object) -> Model:
    """The example that the API's documentation shows, with these values."""
    examples = {name: field.examples[0] for name, field in model.model_fields.items() if field.examples}
    return model.model_validate(examples | values)
