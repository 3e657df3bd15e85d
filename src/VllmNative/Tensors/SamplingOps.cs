using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The operations on logits [rows, vocabulary].</summary>
internal static unsafe class SamplingOps
{
    internal static void EditLogits(this Device device, Tensor logits, Tensor positions, Tensor values)
    {
        var p = new LogitsEditParams
        {
            Logits = logits.ToNative(),
            Positions = positions.ToNative(),
            Values = values.ToNative(),
            NumEdits = (int)values.Dim0,
        };
        Status.Check(NativeMethods.vn_logits_edit(device.Stream, &p));
    }

    internal static void MaskLogits(this Device device, Tensor logits, Tensor rows, Tensor bits)
    {
        var p = new LogitsMaskParams
        {
            Logits = logits.ToNative(),
            Rows = rows.ToNative(),
            Bits = bits.ToNative(),
            NumMasks = (int)bits.Dim0,
        };
        Status.Check(NativeMethods.vn_logits_mask(device.Stream, &p));
    }

    internal static void UpdateTokenCounts(this Device device, Tensor counts, Tensor updates)
    {
        var p = new TokenCountsParams { Counts = counts.ToNative(), Updates = updates.ToNative(), NumUpdates = (int)updates.Dim0 };
        Status.Check(NativeMethods.vn_token_counts(device.Stream, &p));
    }

    internal static void Penalize(this Device device, Tensor logits, Tensor sampleRows, Tensor counts, SamplingTable settings)
    {
        var p = new LogitsPenaltiesParams
        {
            Logits = logits.ToNative(),
            SampleRows = sampleRows.ToNative(),
            Counts = counts.ToNative(),
            Sampling = settings.Data,
            MaxSeqs = settings.Rows,
        };
        Status.Check(NativeMethods.vn_logits_penalties(device.Stream, &p));
    }

    internal static void Sample(
        this Device device, Tensor logits, Tensor sampleRows, SamplingTable settings, bool allGreedy, Tensor ids, Tensor flags, Workspace workspace)
    {
        var p = new SampleParams
        {
            AllGreedy = allGreedy ? 1 : 0,
            Logits = logits.ToNative(),
            SampleRows = sampleRows.ToNative(),
            Sampling = settings.Data,
            MaxSeqs = settings.Rows,
            OutIds = ids.ToNative(),
            OutFlags = flags.ToNative(),
            Workspace = workspace.Data,
            WorkspaceBytes = workspace.Bytes,
        };
        Status.Check(NativeMethods.vn_sample(device.Stream, &p));
    }

    internal static long SampleWorkspace(this Device device, long maxRows, long vocabulary)
    {
        Status.Check(NativeMethods.vn_sample_workspace_size(device.Handle, maxRows, vocabulary, out long bytes));
        return bytes;
    }

    internal static void Logprobs(this Device device, Tensor logits, Tensor ids, Tensor logprob, Tensor rank, Tensor topIds, Tensor topLogprobs)
    {
        var p = new LogprobsParams
        {
            Logits = logits.ToNative(),
            Ids = ids.ToNative(),
            OutLogprob = logprob.ToNative(),
            OutRank = rank.ToNative(),
            OutTopIds = topIds.ToNative(),
            OutTopLogprobs = topLogprobs.ToNative(),
        };
        Status.Check(NativeMethods.vn_logprobs(device.Stream, &p));
    }
}
