"""Starting the server: the deployment file, a Ray of our own, and the process that is left alone with them.

For the command line and for benchmarks; nothing else in deployments/ imports this, and nothing here imports Ray before
own_ray.py has set its environment.
"""

from deployments.launch.deployment_file import SHIPPED_FILE
from deployments.launch.launcher import serve_file

__all__ = ["SHIPPED_FILE", "serve_file"]
