#!/bin/sh
# C++ compiler driver written by cmd/libtorch; used as CXX by cgo.
#
# It changes three kinds of call and passes every other one through untouched:
#   libtch  gotch's binding (torch_api.cpp): forced include, no -g, -O1
#   shim    a package that says "#cgo CXXFLAGS: -DWILDTRAIN_SHIM": -O2
#   link    anything linked with -ltorch: library folder, rpath, stubs
@SETTINGS@
source= kind= link=
for arg; do
	case $arg in
	-DWILDTRAIN_SHIM | -DWILDTRAIN_SHIM=*) [ -n "$kind" ] || kind=shim ;;
	*torch_api.cpp)
		case $arg in */*) folder=${arg%/*} ;; *) folder=. ;; esac
		[ -f "$folder/torch_api_generated.cpp.h" ] && kind=libtch
		source=yes
		;;
	*.cpp | *.cc | *.cxx | *.C) source=yes ;;
	-ltorch | -ltorch_cpu) link=yes ;;
	@*) grep -q -e '-ltorch' "${arg#@}" 2>/dev/null && link=yes ;;
	esac
done

if [ -n "$source" ] && [ -n "$kind" ]; then
	for arg; do
		shift
		case $arg in
		-std=* | -O | -O[0-9sgz] | -Ofast | -g | -g[0-9]) ;;
		*) set -- "$@" "$arg" ;;
		esac
	done
	set -- "-std=$standard" $abi -DNDEBUG -isystem "$include" \
		-isystem "$include/torch/csrc/api/include" "$@"
	case $kind in
	libtch) set -- -O1 -w $defines -include "$kit/compat.h" "$@" ;;
	shim) set -- -O2 "$@" ;;
	esac
elif [ -n "$link" ]; then
	set -- -L"$kit/stubs" -L"$library" -Wl,-rpath,"$library" $link_flags "$@"
fi
exec $compiler "$@"
