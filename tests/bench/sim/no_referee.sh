#!/bin/sh
# usage: no_referee.sh NAME PACKAGE
echo "SKIP: $1 is not installed (apt-get install $2), or was not when this was configured"
exit 77
