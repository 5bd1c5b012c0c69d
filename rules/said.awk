# Of what papermill prints only what a reader needs: of a traceback through papermill and a notebook's
# cells the error at its end; of ipykernel not that it talks to this machine over TCP.
# The exit status is 3 where another try would end alike: a cell raised an error, or the disk is full.

/IPKernelApp/ { next }
/^Traceback \(most recent call last\)/ { traceback = 1 }
/^Exception encountered at/ { status = 3 }
/No space left on device/ { status = 3; full = 1 }
!traceback { print; fflush(); next }
NF { last = $0 "\n"; part = part last; next }
part { kept = part; part = "" }

END {
    if (part == "")
        part = kept
    printf "%s", full ? last : part
    if (full && last !~ /PATCHWISE_WORK/)
        print "Free some, or set PATCHWISE_WORK to a folder on a larger disk"
    exit status
}
