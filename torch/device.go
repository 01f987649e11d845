package torch

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sugarme/gotch/libtch"
)

// Device is where a tensor lives: CPU, or a CUDA device by its index.
type Device int32

// CPU is the host.
const CPU Device = -1

// CUDA returns the device of the given index.
func CUDA(index int) Device { return Device(index) }

// ParseDevice reads "cpu", "cuda", "cuda:1" or "auto" (the first CUDA device, else the CPU).
func ParseDevice(text string) (Device, error) {
	switch name := strings.ToLower(strings.TrimSpace(text)); {
	case name == "cpu":
		return CPU, nil
	case name == "auto" || name == "":
		if CUDADevices() > 0 {
			return CUDA(0), nil
		}
		return CPU, nil
	case name == "cuda":
		return checkCUDA(0)
	case strings.HasPrefix(name, "cuda:"):
		index, err := strconv.Atoi(name[len("cuda:"):])
		if err != nil || index < 0 {
			break
		}
		return checkCUDA(index)
	}
	return CPU, fmt.Errorf("torch: parse device %q: want cpu, cuda, cuda:N or auto", text)
}

func checkCUDA(index int) (Device, error) {
	if n := CUDADevices(); index >= n {
		return CPU, fmt.Errorf("torch: device cuda:%d: this libtorch sees %d CUDA devices", index, n)
	}
	return CUDA(index), nil
}

// IsCUDA reports whether the device is a GPU.
func (d Device) IsCUDA() bool { return d >= 0 }

// String returns "cpu" or "cuda:N".
func (d Device) String() string {
	if d.IsCUDA() {
		return "cuda:" + strconv.Itoa(int(d))
	}
	return "cpu"
}

// CUDADevices is the number of CUDA devices that libtorch can use.
func CUDADevices() int {
	if !libtch.AtcCudaIsAvailable() {
		return 0
	}
	return int(libtch.AtcCudaDeviceCount())
}
