"""What every request passes before it reaches a route, from the outside in: proxy.py in Ray's proxy, then request_id,
recorder, disconnect, key_check, body_limit, body_budget."""
