// Go looks for a file of this name; it reads VERSION.mod instead.
module kube-proxy
