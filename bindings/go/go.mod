module libdpo

go 1.19
