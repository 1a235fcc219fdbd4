"""Programs that use the packages as a user would; see README.md."""

import experiments  # noqa: F401, says in a line what is missing
