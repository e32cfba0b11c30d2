"""HTTP and nothing else: routes and their bodies, responses and what encodes their audio, and layers around them all.

Nobody imports from here but deployments/app.py, which takes app.Ingress; Ray's proxy, a process that stays small, finds
layers/proxy.py by its name. So nothing is imported here.
"""
