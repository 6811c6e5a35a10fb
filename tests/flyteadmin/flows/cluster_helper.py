"""What the cluster's flows import: it has to come along."""


def twice(number: int) -> int:
    return 2 * number
