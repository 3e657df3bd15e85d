namespace VllmNative.Bindings;

/// <summary>A vn_graph: recorded work that is launched as a whole.</summary>
internal sealed class GraphHandle : NativeHandle
{
    /// <summary>Ends the recording that vn_graph_begin started on the stream.</summary>
    public static GraphHandle End(StreamHandle stream)
    {
        int status = NativeMethods.vn_graph_end(stream, out GraphHandle graph);
        return Created(status, graph);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMethods.vn_graph_destroy(handle);
        return true;
    }
}
