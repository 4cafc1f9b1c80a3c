#!/bin/sh
# Make a folder in which a 64-bit Arm Python runs on this machine and counts its instructions.
#
#     sh tests/benchmarks/arm_root.sh FOLDER [cortex-a76|cortex-a72]
#
# For Debian 12 on x86-64. Nothing is installed and root is not needed: packages are downloaded by
# apt-get and pip and unpacked under FOLDER (350 MB). What is there already is not made again.
#
#     FOLDER/litert            Python with ai-edge-litert 2.3 and numpy
#     FOLDER/tflite-runtime    Python with tflite-runtime 2.14 and numpy 1
#
# Both write how many instructions they executed to the file that $INSTRUCTIONS names.
# $PYTHON is the Python of this machine whose pip downloads the wheels, default python3.
set -eu

PYTHON=${PYTHON:-python3}
cpu=${2:-cortex-a76}
if [ $# -lt 1 ]; then
    echo "usage: $0 FOLDER [cortex-a76|cortex-a72]" >&2
    exit 2
fi
# As in the processor's own /proc/cpuinfo. Of QEMU's processors `max` is left out: in QEMU 7.2 it
# computes int8 wrongly.
features="fp asimd evtstrm aes pmull sha1 sha2 crc32"
case $cpu in
    cortex-a72) part=0xd08 ;;
    cortex-a76) part=0xd0b features="$features atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp" ;;
    *)
        echo "The processor must be cortex-a76 or cortex-a72. Received: $cpu." >&2
        exit 2
        ;;
esac
for command in apt-get dpkg gcc "$PYTHON"; do
    command -v "$command" >/dev/null || {
        echo "$command must be there. On Debian 12: apt-get install gcc python3-pip" >&2
        exit 1
    }
done
mkdir -p "$1"
root=$(cd "$1" && pwd)

# Unpack packages and all they need beside what a dpkg status file lists.
packages() { # ARCHITECTURE STATUS-FILE FOLDER NAME...
    architecture=$1 status=$2 folder=$root/$3
    shift 3
    if [ -d "$folder" ]; then return; fi
    echo "apt-get: $* ($architecture) into $folder"
    rm -rf "$root/apt" "$folder.part"
    mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial" "$folder.part"
    cat >"$root/apt/apt.conf" <<END
Dir::State "$root/apt";
Dir::State::status "$status";
Dir::Cache "$root/apt";
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Debug::NoLocking "true";
END
    APT_CONFIG=$root/apt/apt.conf apt-get -qq update
    APT_CONFIG=$root/apt/apt.conf apt-get -qq -y --download-only --reinstall install "$@"
    for package in "$root"/apt/archives/*.deb; do dpkg -x "$package" "$folder.part"; done
    mv "$folder.part" "$folder"
    rm -rf "$root/apt"
}

wheels() { # FOLDER REQUIREMENT...
    folder=$root/$1
    shift
    if [ -d "$folder" ]; then return; fi
    echo "pip: $* (aarch64) into $folder"
    rm -rf "$folder.part"
    "$PYTHON" -m pip install -q --no-deps --only-binary=:all: --target "$folder.part" \
        --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
        --platform manylinux_2_34_aarch64 --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 "$@"
    mv "$folder.part" "$folder"
}

packages "$(dpkg --print-architecture)" /var/lib/dpkg/status host qemu-user
packages arm64 /dev/null arm python3-minimal libpython3-stdlib libstdc++6
if [ ! -x "$root/arm/usr/bin/python3.11" ]; then
    echo "Python 3.11 must be in $root/arm: the last one that tflite-runtime has wheels for." \
        "Received: $(echo "$root"/arm/usr/bin/python3.*). Use Debian 12." >&2
    exit 1
fi
wheels wheels-litert 'ai-edge-litert==2.3.*' numpy flatbuffers protobuf backports.strenum \
    typing_extensions tqdm
wheels wheels-tflite-runtime 'tflite-runtime==2.14.*' 'numpy<2'

# LiteRT crashes on the /proc/cpuinfo of another architecture.
mkdir -p "$root/arm/proc"
for number in 0 1; do
    printf '%s\t: %s\n' processor $number BogoMIPS 48.00 Features "$features cpuid" \
        'CPU implementer' 0x41 'CPU architecture' 8 'CPU variant' 0x4 'CPU part' $part \
        'CPU revision' 1
    echo
done >"$root/arm/proc/cpuinfo"

# The plugin adds the length of each translated block to a counter whenever the block runs. Its
# declarations are those of qemu-plugin.h, version 1, which no package of Debian 12 has.
cat >"$root/count.c" <<'END'
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
struct qemu_info_t;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(uint64_t, void (*)(uint64_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

int qemu_plugin_version = 1;
static const int add = 0;
static uint64_t count;

static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
    qemu_plugin_register_vcpu_tb_exec_inline(block, add, &count, qemu_plugin_tb_n_insns(block));
}

static void leaving(uint64_t id, void *unused)
{
    const char *path = getenv("INSTRUCTIONS");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%" PRIu64 "\n", count);
        fclose(file);
    }
}

int qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, leaving, NULL);
    return 0;
}
END
gcc -O2 -Wall -shared -fPIC "$root/count.c" -o "$root/count.so"

for runtime in litert tflite-runtime; do
    cat >"$root/$runtime" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$(echo "$root"/host/usr/lib/*-linux-gnu)"
exec "$root/host/usr/bin/qemu-aarch64" -cpu $cpu -L "$root/arm" -plugin "$root/count.so" \\
    -U LD_LIBRARY_PATH -E PYTHONPATH="$root/wheels-$runtime" -E PYTHONHASHSEED=0 \\
    -E OPENBLAS_NUM_THREADS=1 "$root/arm/usr/bin/python3.11" "\$@"
END
    chmod +x "$root/$runtime"
done
version=$(LD_LIBRARY_PATH=$(echo "$root"/host/usr/lib/*-linux-gnu) \
    "$root/host/usr/bin/qemu-aarch64" --version | head -n 1)
echo "$cpu, $version: $root/litert, $root/tflite-runtime"
