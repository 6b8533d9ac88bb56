"""The demo: a year of real grocery baskets as events, a dozen segments of them, and the stream into Kafka."""
