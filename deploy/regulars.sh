#!/bin/sh
# Runs a command with the units' user, settings and folder. Install it as /usr/local/bin/regulars; only root can run it.
set -eu

set -a
. /etc/regulars.env
set +a
exec runuser --user regulars -- /opt/regulars/bin/regulars "$@"
