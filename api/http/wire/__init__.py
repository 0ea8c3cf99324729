"""What every route needs of HTTP and Postgres: answers, bodies, parameters, problems, pools, and connections."""
