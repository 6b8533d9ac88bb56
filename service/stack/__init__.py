"""Real servers for `segments up` and the tests, and the supervisor of the roles."""
