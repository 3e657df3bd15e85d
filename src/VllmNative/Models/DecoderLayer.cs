using VllmNative.Layers;

namespace VllmNative.Models;

/// <summary>Norm, attention, norm, MLP; each result is added to the residual by the norm that follows it.</summary>
internal sealed class DecoderLayer(RmsNorm inputNorm, Attention attention, RmsNorm postNorm, GatedMlp mlp) : IDisposable
{
    internal Attention Attention => attention;

    internal GatedMlp Mlp => mlp;

    /// <param name="context">The step.</param>
    /// <param name="a">Activations of this step's length.</param>
    /// <param name="first">The first layer finds the embedding in the residual and nothing to add.</param>
    internal void Forward(in ForwardContext context, in StepActivations a, bool first)
    {
        if (first)
        {
            inputNorm.Forward(context, a.Residual, a.Normed);
        }
        else
        {
            inputNorm.AddForward(context, a.Delta, a.Residual, a.Normed);
        }

        attention.Forward(context, a.Normed, a.Qkv, a.Attended, a.Delta);
        postNorm.AddForward(context, a.Delta, a.Residual, a.Normed);
        mlp.Forward(context, a.Normed, a.GateUp, a.Activated, a.Delta);
    }

    public void Dispose()
    {
        inputNorm.Dispose();
        attention.Dispose();
        postNorm.Dispose();
        mlp.Dispose();
    }
}
