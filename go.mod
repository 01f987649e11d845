module github.com/wildtrain/sdk

go 1.24
