"""Trains what is not stored, one after another; resumable (a lock file per run)."""
import sys, time, attrs
from vaelib.lab import Experiment
from vaelib.lab.experiment import train_and_store
DEPTHS=((256,),(256,64),(256,64,32),(256,64,32,24))
def grid(name,hidden,leak,noise): return Experiment(dataset=name,hidden=hidden,leak=leak,decoder_variance=noise,likelihood="gaussian",epochs=10,history=False).with_seeds(range(3))
BETAS=(.15,.3,.6,.75,.9,1.05,1.5,1.95,2.55,3,3.75,4.5)
P=[]
four,one,three,two=DEPTHS[3],DEPTHS[0],DEPTHS[2],DEPTHS[1]
def theirs(b,seed=0): return Experiment(hidden=(1024,),latent=64,initialisation="torch",likelihood="gaussian",beta=b,epochs=10,history=False,seed=seed)
W=dict(hidden=(500,)*3,latent=24,history=False)
A=Experiment(shallow_epochs=10,epochs=10,**W).with_seeds(range(3)); B=Experiment(epochs=20,**W).with_seeds(range(3))
for h in (four,one,three,two): P+=grid("mnist",h,1,1.0)
for leak in (.5,.8,.2): P+=grid("mnist",four,leak,1.0)
N=dict(hidden=(125,)*3,latent=24,history=False)
P+=Experiment(shallow_epochs=10,epochs=10,**N).with_seeds(range(3))+Experiment(epochs=20,**N).with_seeds(range(3))
P+=[theirs(b) for b in (1.05,4.5,3,.3,1.95,.6,.15,.75,.9,1.5,2.55,3.75)]
P+=Experiment(hidden=(256,32,24),history=False).with_seeds(range(3))
for h in (four,one): P+=grid("mnist",h,1,.1)
for leak in (.5,.8,.2): P+=grid("mnist",one,leak,1.0)
for h in (three,two): P+=grid("mnist",h,0,1.0)
P+=[e for pair in zip(A,B) for e in pair]
for h in (four,one): P+=grid("glyphs",h,1,1.0)+grid("glyphs",h,0,1.0)
P+=grid("mnist",four,1,3.0)
for h in (four,one): P+=grid("mnist",h,.5,.1)
for leak in (.5,.8,.2):
    for h in (three,two): P+=grid("mnist",h,leak,1.0)
for leak in (1,0,.5):
    for h in (three,two): P+=grid("mnist",h,leak,.1)
P+=[theirs(b,s) for b in (.3,1.05,3) for s in (1,2)]
for leak in (.2,.8):
    for h in (four,one,three,two): P+=grid("mnist",h,leak,.1)
C=[theirs(b) for b in (1.05,4.5,3,.3,1.95,.6,.15,.75,.9,1.5,2.55,3.75)]
L=[]
for leak in (.5,.8,.2): L+=grid("mnist",one,leak,1.0)
for h in (three,two): L+=grid("mnist",h,0,1.0)
L+=Experiment(hidden=(256,32,24),history=False).with_seeds(range(3))
for h in (four,one,three,two): L+=grid("mnist",h,1,.1)
L+=grid("mnist",four,1,3.0)
for h in (three,two): L+=grid("mnist",h,.8,1.0)
G=[]
for h in (four,one):
    for leak in (1,0): G+=grid("glyphs",h,leak,1.0)
M=[]
for leak in (.5,.2):
    for h in (three,two): M+=grid("mnist",h,leak,1.0)
for h in (three,two): M+=grid("mnist",h,0,.1)
for h in (four,one,three,two): M+=grid("mnist",h,.5,.1)
AB=[e for pair in zip(A,B) for e in pair]
N3=Experiment(shallow_epochs=10,epochs=10,**N).with_seeds(range(3))+Experiment(epochs=20,**N).with_seeds(range(3))
L1=grid("mnist",one,.8,1.0)+grid("mnist",one,.2,1.0)
L2=grid("mnist",four,1,.1)+grid("mnist",one,1,.1)+grid("mnist",four,1,3.0)+G
P=[N3+L+C+M+AB+G+P, L1[::-1]+L2+L+C[::-1]+AB+M+P][int(sys.argv[2][0]) if len(sys.argv)>2 else 0]
if __name__=="__main__":
    if sys.argv[1]=="tiny":
        import attrs
        P=[attrs.evolve(e,seed=99,images=1000,epochs=1,shallow_epochs=min(1,e.shallow_epochs)) for e in (P[0],P[30],Experiment(shallow_epochs=1,epochs=1,**W),theirs(1.0))]
    todo=[e for e in dict.fromkeys(P) if e.stored(weights=False) is None]
    print(len(P),"planned",len(todo),"to do",flush=True)
    part,of=(int(x) for x in sys.argv[2].split("/")) if len(sys.argv)>2 else (0,1)
    order=todo
    for e in order:
        if e.stored(weights=False): continue
        t=time.process_time(); train_and_store(e,False,progress=False); print(time.strftime("%H:%M:%S"),f"{time.process_time()-t:.0f}s",e.canonical,flush=True)
    print("done",flush=True)
