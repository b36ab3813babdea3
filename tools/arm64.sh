#!/bin/sh
# Runs a command on an emulated arm64: `tools/arm64.sh python3 -m pytest tests/models`.
#
# The machine is an arm64 Debian of its own, made once below ~/.cache/cosmo-runtime/arm64 (1.5 GB), with Debian's Python
# and the aarch64 wheels of requirements/tx2.txt. Its processor is the Cortex-A57 of a TX2, which qemu-user emulates.
# The project stands in /cosmo, read-only; /tmp is this machine's. Needs root, and Debian's packages (see below).
#
#   ARM64_MIRROR   a Debian mirror, by default apt's      ARM64_HOME   where the arm64 Debian is kept
#   PYTHON         a Python with pip, which fetches the wheels
#
# Without a command it only makes the machine; `--root` prints its folder. It exits with 77 where the tools are missing.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
home=${ARM64_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/cosmo-runtime/arm64}
release=bullseye  # the nearest to the TX2's Python 3.8: Debian has none, and newer releases have no camera wheel
root=$home/$release
wheels=$root/opt/wheels

missing() {
    echo "arm64: skipped: $1" >&2
    exit 77
}

make_root() {
    mirror=${ARM64_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' | head -n 1)}
    [ -n "$mirror" ] || missing "apt names no Debian mirror; give one as ARM64_MIRROR"
    echo "arm64: making $root from $mirror" >&2
    rm -rf "$root.part"
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,libstdc++6 \
        "$release" "$root.part" "$mirror" >&2
    # nothing needs to be configured to run Python, so the packages are only unpacked: that takes no emulation
    for package in "$root.part"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root.part"
    done
    cp "$root.part/usr/share/base-passwd/passwd.master" "$root.part/etc/passwd"
    cp "$root.part/usr/share/base-passwd/group.master" "$root.part/etc/group"
    rm -rf "$root.part"/var/cache/apt/archives/*.deb
    rm -rf "$root.part/debootstrap" "$root.part/proc"  # inside a container, proc is a link to this machine's
    mkdir "$root.part/cosmo" "$root.part/proc"
    mv "$root.part" "$root"
}

fetch_wheels() {
    echo "arm64: fetching the wheels" >&2
    rm -rf "$wheels" "$wheels.part"
    mkdir -p "$wheels.part"
    # pycuda has no wheel; the newest libusb works on machines without a USB bus
    sed 's/ *#.*//; /^$/d; /^pycuda==/d; s/^libusb-package==.*/libusb-package>=1.0.30/' \
        "$project/requirements/tx2.txt" >"$home/wheels.txt"
    platforms=$(for glibc in 17 24 27 28 31; do printf -- '--platform manylinux_2_%s_aarch64 ' "$glibc"; done)
    # shellcheck disable=SC2086  # the platforms are words
    "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
        --ignore-requires-python --only-binary=:all: --implementation cp --python-version 3.9 \
        --abi cp39 --abi abi3 --abi none $platforms --platform manylinux2014_aarch64 \
        --target "$wheels.part" -r "$home/wheels.txt"
    cp "$project/requirements/tx2.txt" "$wheels.part"
    mv "$wheels.part" "$wheels"
}

for tool in debootstrap qemu-aarch64-static update-binfmts unshare; do
    command -v "$tool" >/dev/null ||
        missing "there is no $tool; apt-get install debootstrap qemu-user-static binfmt-support"
done
[ "$(id -u)" = 0 ] || missing "another machine's root folder needs root"
formats=/proc/sys/fs/binfmt_misc
[ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats || missing "this kernel has no binfmt_misc"
[ -e $formats/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64 || missing "binfmt_misc takes no qemu-aarch64"

# the kernel's is of this machine's processor, which ONNX Runtime and torch cannot read; this is a Cortex-A57's
describe_processor() {
    for core in $(seq 0 $(($(nproc --all) - 1))); do
        printf 'processor\t: %s\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32\n' "$core"
        printf 'CPU implementer\t: 0x41\nCPU architecture: 8\n'
        printf 'CPU variant\t: 0x1\nCPU part\t: 0xd07\nCPU revision\t: 3\n\n'
    done
}

mkdir -p "$home"
[ -d "$root" ] || make_root
cmp -s "$project/requirements/tx2.txt" "$wheels/tx2.txt" || fetch_wheels
[ $# -gt 0 ] || exit 0
if [ "$1" = --root ]; then
    echo "$root"
    exit 0
fi

describe_processor >"$root/etc/cpuinfo"

# the mounts are seen by this command only, and end with it
export project root
exec unshare --mount sh -euc '
    mount --bind "$project" "$root/cosmo"
    mount -o remount,ro,bind "$root/cosmo"
    for folder in /dev /dev/pts /proc /sys /tmp; do mount --bind "$folder" "$root$folder"; done
    mount --bind "$root/etc/cpuinfo" "$root/proc/cpuinfo"
    exec env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 QEMU_CPU=cortex-a57 OMP_NUM_THREADS=1 \
        PYTHONPATH=/cosmo/src:/cosmo:/opt/wheels PYTHONPYCACHEPREFIX=/var/cache/python PYTHONHASHSEED=0 \
        chroot "$root" sh -euc "cd /cosmo; exec \"\$@\"" arm64 "$@"
' arm64 "$@"
