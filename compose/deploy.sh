#!/usr/bin/env bash
# Replaces the running programs by those of TAG, and goes back by itself when they do not come up healthy.
#
#   ./deploy.sh [--commit SHA] [--no-backup] [--no-pull] [--wait SECONDS] TAG
#
#   --commit SHA      check out this commit of the repository first (fetched already), so that compose's files fit the images;
#                     going back returns to the commit before, too
#   --no-backup       leave out the backup that is taken first
#   --no-pull         the images are here already (built on this machine)
#   --wait SECONDS    how long containers may take to become healthy (300)
#
# In order: backup; checkout; TAG in .env; pull; up; health of web, back office and trainer; where a model was live before, a real
# answer. Exit codes: 0 done; 1 it failed and the programs before it run again (or never stopped); 2 wrong use; 3 it failed, and
# going back failed as well: a person is needed. Everything said is in deploy.log, too.
set -Eeuo pipefail

readonly READY_SECONDS=${DEPLOY_READY_SECONDS:-90} # for what is up and healthy to answer through all of it
readonly LOG_LINES=20

say() { printf '%s\n' "$*"; }
die() {
    printf 'deploy.sh: %s\n' "$1" >&2
    exit "${2:-2}"
}

usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$here/deploy.sh"; }

# ---- what is set, and what is there

read_arguments() {
    commit="" backup=yes pull=yes seconds=300 tag=""
    while [ $# -gt 0 ]; do
        case $1 in
        --commit) commit=${2:-} && shift ;;
        --no-backup) backup=no ;;
        --no-pull) pull=no ;;
        --wait) seconds=${2:-} && shift ;;
        -h | --help) usage && exit 0 ;;
        -*) die "$1 is no option; see $0 --help." ;;
        *)
            [ -z "$tag" ] || die "one TAG, not two: '$tag' and '$1'."
            tag=$1
            ;;
        esac
        shift || die "the last option lacks its value; see $0 --help."
    done
    [[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || die "name the TAG of the images, as your registry has them; see $0 --help."
    [[ $seconds =~ ^[1-9][0-9]{0,4}$ ]] || die "--wait takes seconds, such as 300."
    [[ $commit =~ ^([0-9a-f]{7,64})?$ ]] || die "--commit takes a commit's hash."
}

require_a_platform() {
    docker compose version >/dev/null 2>&1 || die "docker compose does not answer here; may this account use Docker?"
    [ -f .env ] || die "there is no .env in $here: write it with 'make compose-init' in the folder above."
    docker compose config --quiet || die "compose cannot read its files; nothing was changed."
    [ -z "$commit" ] || git rev-parse --quiet --verify "$commit^{commit}" >/dev/null ||
        die "the commit $commit is not here: git fetch it first."
}

# The lock is the kernel's: it ends with this program, however that ends.
one_at_a_time() {
    exec 9<"$here"
    flock --nonblock 9 || die "another deploy is under way here; wait for it to end." 1
}

# Somebody's connection may break in the middle: what is said then goes to the file alone, and the work goes on.
log_too() {
    trap '' HUP PIPE
    touch deploy.log && chmod 600 deploy.log
    exec > >(exec tee --output-error=warn-nopipe --append deploy.log 9<&-) 2>&1
    tee_pid=$!
}

# ---- TAG in .env

tag_in_env() { sed -n 's/^TAG=//p' .env | tail -n 1; }

# Whole or not at all; owner and mode stay. Empty: the line goes, and compose.yaml's own default counts.
set_tag() {
    local new
    new=$(mktemp .env.new-XXXXXX) || return 1
    if cp --preserve=mode,ownership .env "$new" &&
        awk -v tag="$1" '/^TAG=/ { if (tag != "" && !done++) print "TAG=" tag; next } { print }
                         END { if (tag != "" && !done) print "TAG=" tag }' .env >"$new" &&
        mv "$new" .env; then
        return 0
    fi
    rm -f "$new"
    return 1
}

# ---- what runs

# The answer of an address as a service's container sees it: ask SERVICE ADDRESS [JSON TO POST]
ask() {
    docker compose exec -T "$1" python -c '
import sys, urllib.request
address, body = sys.argv[1], sys.argv[2:]
request = urllib.request.Request(address, body[0].encode() if body else None, {"content-type": "application/json"})
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.stdout.write(direct.open(request, timeout=10).read().decode())
' "${@:2}" </dev/null 2>/dev/null
}

a_model_is_live() { [[ $(ask web http://trainer:8502/routing) == *'"modelVersion"'* ]]; }

within() { # SECONDS COMMAND...: tried again and again
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 2
    done
}

schema_version() {
    docker compose exec -T postgres psql --username postgres --dbname prediction --no-align --tuples-only \
        --command 'SELECT max(version) FROM schema_migrations' </dev/null 2>/dev/null || true
}

come_up() { docker compose up --detach --no-build --remove-orphans --wait --wait-timeout "$seconds" </dev/null; }

answers() {
    local program
    for program in web:8000 backoffice:8001 trainer:8502; do
        within "$READY_SECONDS" ask "${program%:*}" "http://127.0.0.1:${program#*:}/health/ready" || {
            why="${program%:*} does not say that it is ready"
            return 1
        }
    done
    [ "$live" = no ] || within "$READY_SECONDS" ask web http://127.0.0.1:8000/api/predict '{"text": "ottimo prodotto"}' || {
        why="a text gets no answer, though a model was live before"
        return 1
    }
}

# Who is not as it should be, with the last it said.
show_trouble() {
    local service state health code
    docker compose ps --all --format '{{.Service}} {{.State}} {{or .Health "-"}} {{.ExitCode}}' </dev/null |
        while read -r service state health code; do
            case "$state $health $code" in
            "running healthy "* | "running - "* | "exited "*" 0") ;;
            *)
                say "--- $service: $state, $health (exit code $code); its last lines:"
                docker compose logs --no-color --no-log-prefix --tail "$LOG_LINES" "$service" </dev/null || true
                ;;
            esac
        done
}

# ---- there and back

go_there() {
    if [ -n "$commit" ]; then
        git checkout --quiet --detach "$commit" || {
            why="the commit $commit cannot be checked out (changed files on the server?)"
            return 1
        }
        docker compose config --quiet || {
            why="compose cannot read the files of $commit (does .env lack something new? make compose-init adds it)"
            return 1
        }
    fi
    set_tag "$tag" || {
        why=".env cannot be written"
        return 1
    }
    if [ "$pull" = yes ]; then
        docker compose pull --quiet </dev/null || {
            why="the images of $tag cannot be pulled"
            return 1
        }
    fi
    started=yes
    come_up || {
        why="not every container became healthy within $seconds s"
        return 1
    }
    answers
}

go_back() {
    local moved
    [ -z "$commit" ] || git checkout --quiet --detach "$old_commit" || return 1
    set_tag "$old_tag" || return 1
    [ "$started" = yes ] || return 0
    moved=$(schema_version)
    come_up && answers && return 0
    show_trouble
    if [ -n "$moved" ] && [ "$moved" != "$old_schema" ]; then
        say "The programs of $tag moved the database's schema from ${old_schema:-nothing} to $moved, and those of ${old_tag:-before} do not work on that."
        say "Deploy a corrected TAG, or put the data back as they were ($restore):"
        say "    docker compose --profile '*' stop && docker compose up -d --wait postgres && $restore_command && docker compose up -d --wait"
    fi
    return 1
}

fail() {
    local failure=$why
    trap - INT TERM
    say "$tag failed: $failure."
    [ "$started" = no ] || show_trouble
    say "Going back to ${old_tag:-what .env said before}${commit:+ and to commit $old_commit} ..."
    if go_back; then
        say "deploy.sh: $tag was not deployed, because $failure; ${old_tag:-what was there before} runs again."
        finish 1
    fi
    say "deploy.sh: $tag was not deployed, because $failure; and ${old_tag:-what was there before} does not come up either: somebody must look."
    finish 3
}

finish() {
    exec >&- 2>&-
    wait "$tee_pid" || true
    exit "$1"
}

main() {
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    cd "$here"
    read_arguments "$@"
    one_at_a_time
    require_a_platform
    log_too
    why="" started=no live=no
    old_tag=$(tag_in_env)
    old_commit=$(git rev-parse HEAD 2>/dev/null) || old_commit=""
    old_schema=$(schema_version)
    say "$(date --utc +%FT%TZ) deploying $tag${commit:+ ($commit)} over ${old_tag:-what compose.yaml says}"
    a_model_is_live && live=yes
    restore="no backup was taken now; the newest there is" restore_command="docker compose run --rm restore restore /backups latest --replace"
    if [ "$backup" = yes ]; then
        docker compose run --rm -T backup </dev/null || {
            say "deploy.sh: the backup failed, so nothing was changed. Without one: --no-backup."
            finish 1
        }
        restore="from the backup taken before"
    fi
    trap 'why="it was interrupted"; fail' INT TERM
    go_there || fail
    trap - INT TERM
    say "deploy.sh: $tag runs and is healthy$([ "$live" = no ] || echo '; a text was answered')."
    finish 0
}

# All is read before anything is done, and main ends the program: a checkout replaces this very file.
main "$@"
