package mlflow

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrNotFound tells that an experiment, run, model or version does not exist.
	ErrNotFound = errors.New("mlflow: not found")
	// ErrExists tells that a name is taken.
	ErrExists = errors.New("mlflow: already exists")
)

// The codes that stores answer with, by MLflow's names.
const (
	codeInvalid  = "INVALID_PARAMETER_VALUE"
	codeMissing  = "RESOURCE_DOES_NOT_EXIST"
	codeExists   = "RESOURCE_ALREADY_EXISTS"
	codeState    = "INVALID_STATE"
	codeEndpoint = "ENDPOINT_NOT_FOUND"
	codeInternal = "INTERNAL_ERROR"
)

// statusOf are the HTTP statuses of the codes that are not a bad request.
var statusOf = map[string]int{
	codeMissing: http.StatusNotFound, codeEndpoint: http.StatusNotFound, "NOT_FOUND": http.StatusNotFound,
	"CUSTOMER_UNAUTHORIZED": http.StatusUnauthorized, "UNAUTHENTICATED": http.StatusUnauthorized,
	"PERMISSION_DENIED": http.StatusForbidden,
	"ABORTED":           http.StatusConflict, "RESOURCE_CONFLICT": http.StatusConflict, "ALREADY_EXISTS": http.StatusConflict,
	"REQUEST_LIMIT_EXCEEDED": http.StatusTooManyRequests, "RESOURCE_EXHAUSTED": http.StatusTooManyRequests,
	codeInternal: http.StatusInternalServerError, codeState: http.StatusInternalServerError, "DATA_LOSS": http.StatusInternalServerError,
	"NOT_IMPLEMENTED": http.StatusNotImplemented, "TEMPORARILY_UNAVAILABLE": http.StatusServiceUnavailable,
	"DEADLINE_EXCEEDED": http.StatusGatewayTimeout,
}

// Error is a store's answer to a request that it refused.
type Error struct {
	Code    string // MLflow's error code, "" where the server sent none
	Message string
	Status  int    // HTTP status that goes with it
	Call    string // what was asked for
}

// Error implements error.
func (e *Error) Error() string {
	text := "mlflow: "
	if e.Call != "" {
		text += e.Call + ": "
	}
	if e.Code == "" {
		return text + fmt.Sprintf("HTTP status %d: %s", e.Status, e.Message)
	}
	return text + e.Message + " (" + e.Code + ")"
}

// Is finds ErrNotFound and ErrExists.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Code == codeMissing || e.Code == "NOT_FOUND"
	case ErrExists:
		return e.Code == codeExists || e.Code == "ALREADY_EXISTS"
	}
	return false
}

// fail makes an Error of a code.
func fail(code, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
	if s, ok := statusOf[code]; ok {
		e.Status = s
	}
	return e
}

func invalid(format string, args ...any) *Error { return fail(codeInvalid, format, args...) }
func missing(format string, args ...any) *Error { return fail(codeMissing, format, args...) }

// final makes an error that trying again cannot mend.
func (e *Error) final() *Error {
	e.Status = http.StatusBadRequest
	return e
}
