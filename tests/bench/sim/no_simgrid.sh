#!/bin/sh
echo "SKIP: SimGrid is not installed (apt-get install libsimgrid-dev), or was not when this was configured"
exit 77
