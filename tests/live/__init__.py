"""Run the whole loop live: a real Dynamo, a real Prometheus, a real API server, load, and Headgate acting."""
