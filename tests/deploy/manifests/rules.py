"""The list of rules. A rule is a function of a Pod that yields what is wrong; its doc string is the rule."""

RULES = {}


def rule(function):
    """Adds a rule under its function's name."""
    RULES[function.__name__] = function
    return function


def broken(pod, only=None):
    """Every rule that this pod breaks: (name, what is wrong)."""
    found = []
    for name, function in RULES.items():
        if only in (None, name):
            try:
                found += [(name, problem) for problem in function(pod)]
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                found.append((name, f"cannot be judged: {type(error).__name__}: {error}"))
    return found
