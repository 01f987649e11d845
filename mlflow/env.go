package mlflow

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// DefaultURI is where runs go when nothing says otherwise: MLflow's own default.
const DefaultURI = "sqlite:///mlflow.db"

// Connection says how to reach a server. Take DefaultConnection, which reads
// MLflow's environment variables, and change it.
type Connection struct {
	Username, Password string // Basic; they win over Token
	Token              string // Bearer
	InsecureTLS        bool   // do not check the server's certificate
	ServerCert         string // file with certificates to trust, or a folder of such
	ClientCert         string // file with the client's certificate and key
	Workspace          string // sent as X-MLFLOW-WORKSPACE
	Headers            map[string]string

	Timeout    time.Duration // of one request; uploads and downloads have none
	Retries    int           // after the first try
	Backoff    float64       // waits are Backoff·2^n seconds
	Jitter     float64       // at most so many seconds are added to a wait
	RetryAfter bool          // do as the server's Retry-After says

	Multipart          bool  // upload large files in parts where the server can
	MultipartMinimum   int64 // bytes from which a file is large
	MultipartChunk     int64 // bytes of a part
	S3                 S3Options
	awsSigV4, authName string
}

// DefaultConnection reads MLFLOW_TRACKING_USERNAME, _PASSWORD, _TOKEN,
// _INSECURE_TLS, _SERVER_CERT_PATH, _CLIENT_CERT_PATH, MLFLOW_WORKSPACE,
// MLFLOW_HTTP_REQUEST_*, MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD,
// MLFLOW_S3_* and, where user and password are not set, ~/.mlflow/credentials.
// Every variable that cannot be read is an error.
func DefaultConnection() (Connection, error) {
	v := variables{}
	c := Connection{
		Username: os.Getenv("MLFLOW_TRACKING_USERNAME"), Password: os.Getenv("MLFLOW_TRACKING_PASSWORD"),
		Token:       os.Getenv("MLFLOW_TRACKING_TOKEN"),
		InsecureTLS: v.bool("MLFLOW_TRACKING_INSECURE_TLS", false),
		ServerCert:  os.Getenv("MLFLOW_TRACKING_SERVER_CERT_PATH"), ClientCert: os.Getenv("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
		Workspace:        os.Getenv("MLFLOW_WORKSPACE"),
		Timeout:          time.Duration(v.number("MLFLOW_HTTP_REQUEST_TIMEOUT", 120) * float64(time.Second)),
		Retries:          int(v.number("MLFLOW_HTTP_REQUEST_MAX_RETRIES", 7)),
		Backoff:          v.number("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", 2),
		Jitter:           v.number("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", 1),
		RetryAfter:       v.bool("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", true),
		Multipart:        v.bool("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", false),
		MultipartMinimum: int64(v.number("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", 500<<20)),
		MultipartChunk:   int64(v.number("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", 10<<20)),
		awsSigV4:         os.Getenv("MLFLOW_TRACKING_AWS_SIGV4"), authName: os.Getenv("MLFLOW_TRACKING_AUTH"),
	}
	c.S3 = S3Options{
		Endpoint: os.Getenv("MLFLOW_S3_ENDPOINT_URL"), InsecureTLS: v.bool("MLFLOW_S3_IGNORE_TLS", false),
		ExtraArgs: os.Getenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
		AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		Region: first(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
	}
	err := v.err
	if c.Username == "" || c.Password == "" {
		path, ferr := c.readCredentials()
		if ferr != nil {
			err = errors.Join(err, fmt.Errorf("mlflow: read %s: %w", path, ferr))
		}
	}
	return c, errors.Join(err, c.check())
}

// check reports settings that exclude each other or are not built.
func (c Connection) check() error {
	var errs []error
	if c.InsecureTLS && c.ServerCert != "" {
		errs = append(errs, errors.New("mlflow: MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH exclude each other"))
	}
	if on, _ := strconv.ParseBool(c.awsSigV4); on {
		errs = append(errs, errors.New("mlflow: MLFLOW_TRACKING_AWS_SIGV4: requests to tracking servers are not signed with AWS keys here: use a token or user and password"))
	}
	if c.authName != "" {
		errs = append(errs, fmt.Errorf("mlflow: MLFLOW_TRACKING_AUTH=%s: plug-ins of Python cannot be used: use a token or user and password", c.authName))
	}
	if c.Retries < 0 || c.Retries > 100 || c.Backoff < 0 || c.Backoff >= 120 || c.Jitter < 0 || c.MultipartChunk < 1 {
		errs = append(errs, errors.New("mlflow: retries must lie in 0…100, the backoff factor in 0…120, the chunk size above 0"))
	}
	return errors.Join(errs...)
}

// readCredentials takes user and password from the section mlflow of ~/.mlflow/credentials.
func (c *Connection) readCredentials() (path string, err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", nil // without a home there is no file
	}
	path = filepath.Join(home, ".mlflow", "credentials")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return path, err
	}
	defer f.Close()
	section := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		case !ok:
			return path, fmt.Errorf("line %d is not of the form key = value", n)
		case section == "mlflow" && strings.TrimSpace(key) == "mlflow_tracking_username":
			c.Username = first(c.Username, strings.TrimSpace(value))
		case section == "mlflow" && strings.TrimSpace(key) == "mlflow_tracking_password":
			c.Password = first(c.Password, strings.TrimSpace(value))
		}
	}
	return path, lines.Err()
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// variables reads the environment and gathers what cannot be read.
type variables struct{ err error }

func (v *variables) bool(name string, standard bool) bool {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	on, err := strconv.ParseBool(strings.ToLower(text))
	if err != nil {
		v.err = errors.Join(v.err, fmt.Errorf("mlflow: %s=%q: want true or false", name, text))
	}
	return on
}

func (v *variables) number(name string, standard float64) float64 {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > 1<<53 {
		v.err = errors.Join(v.err, fmt.Errorf("mlflow: %s=%q: want a number", name, text))
	}
	return f
}
