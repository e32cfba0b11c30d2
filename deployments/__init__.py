"""The Ray Serve app: what carries requests over HTTP and deployment handles to the engines. Read app.py first."""
